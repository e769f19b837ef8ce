"""Chat templates: a conversation rendered once to text, tokenised once, with the weight of every token."""
