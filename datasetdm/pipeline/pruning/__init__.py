"""`datasetdm prune`: what may go, how much that is, and its removal.

Each part first finds what may go (`find`) and changes nothing; only what was found is removed (`remove`).
"""
