"""An opened store: a folder of memory-mapped arrays and the facts about them."""
