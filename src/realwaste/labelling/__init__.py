"""Labels: those that models doubt, on a page to decide on them; and which photographs to label next."""
