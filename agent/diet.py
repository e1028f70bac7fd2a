"""Imported before all else: what libraries would load for cases that the agent never meets, they do not load.

Each saving is resident memory (VmRSS), measured with Python 3.11 on Linux; together 6.4 of 51.6 MiB. Nothing here
changes what the agent does. It knows libraries, and nothing of the agent.
"""

import mimetypes
import os
import ssl
import sys
import warnings

# frozenlist's extension brings the C++ library along to keep a few lists of callbacks; it has a plain one: 1.1 MiB.
os.environ.setdefault("FROZENLIST_NO_EXTENSIONS", "1")

# requests, where it finds no library to guess the encoding of a text, takes it for UTF-8. Docker's is: 3.0 MiB.
_GUESSERS = ("chardet", "charset_normalizer")
sys.modules |= dict.fromkeys(_GUESSERS)  # type: ignore[arg-type] # None is "not there" to an import
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # requests says so
    import requests  # noqa: F401
for _name in _GUESSERS:
    del sys.modules[_name]

# Every library that serves files has the host's tables of their types read. The agent serves none: 0.4 MiB.
mimetypes.knownfiles.clear()

# aiohttp reads the host's CA certificates, twice, when it is imported. `backend/tls.py` reads them at need: 1.9 MiB.
ssl.SSLContext.set_default_verify_paths = lambda _: None  # type: ignore[method-assign, assignment]
import aiohttp  # noqa: E402, F401

del ssl.SSLContext.set_default_verify_paths
