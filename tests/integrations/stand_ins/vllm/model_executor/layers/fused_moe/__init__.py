from contextlib import contextmanager

_config = None


@contextmanager
def override_config(config):
    global _config
    before, _config = _config, config
    yield
    _config = before


def get_config():
    return _config
