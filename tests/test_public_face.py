import openclip_api


def test_all_names_what_is_exported():
    public = {name for name in vars(openclip_api) if not name.startswith("_")}
    modules = {name for name in public if type(getattr(openclip_api, name)).__name__ == "module"}
    assert public - modules == set(openclip_api.__all__)
