"""From the scores of a P-Decoder to a promise: at least this share of the accepted labels is right."""
