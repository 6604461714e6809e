"""Better labels from the same labelled images: variants of reading and training a P-Decoder, each with its figures."""
