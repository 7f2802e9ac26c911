"""Feature extractors: the table of keras.applications, a weights folder's record, and the network built of both."""
