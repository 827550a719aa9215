import sys

from openclip_api.__main__ import script

sys.argv.insert(1, "serve")
script()
