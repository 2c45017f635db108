"""What is too large to be a photo."""

MOST_PIXELS = 178_956_970  # a photo that declares more is taken for a decompression bomb
MOST_BYTES = 4 * MOST_PIXELS + 2**20  # no image file within the pixel limit needs more
