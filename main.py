from openclip_api.cli import main

raise SystemExit(main(["serve"]))
