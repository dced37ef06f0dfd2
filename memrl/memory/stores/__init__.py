"""Finding words in stores too large to be looked at whole: nearest neighbours, exact or indexed."""
