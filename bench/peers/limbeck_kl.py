"""limbeck distill --loss kl: no label is read."""

from peers.limbeck_js import distil

if __name__ == "__main__":
    distil("kl")
