"""Networks that only answer, run by the engine that is fastest for them."""
