"""Publishing: checkpoint folders, model cards, repositories on the Hub."""
