"""A record's conversation: its turns, the thought and the answer in what the model wrote, recorded token ids."""
