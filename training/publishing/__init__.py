"""Publishing: model cards, and the folders of repositories on the Hub."""
