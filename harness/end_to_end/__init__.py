"""What a user of a model gets, original against port: from sound to text, from text to text, from image to pixels."""
