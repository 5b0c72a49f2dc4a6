"""An opened store: a folder of memory-mapped arrays with the facts about them."""
