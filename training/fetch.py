"""Download all that training reads, in pinned versions, and check the licences.

python training/fetch.py
"""

from art import ART
from packages import EMOJIBASE, EMOJILIB, WORDNET, fetch

if __name__ == "__main__":
    for package in dict.fromkeys([*(vendor.package for vendor in ART.values()), EMOJIBASE, EMOJILIB, WORDNET]):
        fetch(package)
        print(f"{package.name} {package.version}  {package.licence}", flush=True)
