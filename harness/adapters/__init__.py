"""Where the frameworks live: each package turns one kind of model into the small capabilities of `protocols`."""
