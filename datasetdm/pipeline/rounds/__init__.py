"""The rounds of the stage `synthesize`: shards of images, what is learnt from them, and the prompts that come next.

All units are known before any is made, as each is named by what it depends on. Those of a later round depend on the
`Choice` of the round before; which prompts it chooses is read when they are made.
"""
