"""Vigil's command line. The commands are in runtime/commands.py.

python server.py                     one node (the same as `serve`)
python server.py serve --workers N   N processes on one port, WebSocket only
python server.py doctor              examine settings, stores and machine, and say what to do (--json)
python server.py services            run only the embedded MongoDB and Redis, in the foreground
python server.py worker              run only the background jobs
python server.py grant EMAIL ROLE    give an account a role, for example to create the first administrator
python server.py factors remove EMAIL    remove the second factors of an account
python server.py revoke --all        end sessions: of all accounts, of one (--user), or by their age (--before)
python server.py migrate             bring the database to this version (--dry-run), after the last node is updated
python server.py import FILE.jsonl    import accounts of another system (--dry-run)
python server.py server-keys create NAME --scopes SCOPE,…    create a key for a backend (also: list, revoke ID)
python server.py webhooks create URL --events TYPE,…    send facts to a URL (also: list, remove ID, …)
python server.py keys rotate         sign with the next key from now on
python server.py keys reseal         seal anew under the current secret what the second one has sealed
python server.py keys reset          end all sessions and generate new keys under the current secret
"""

import gc
import sys

# Imports create no garbage, and collecting takes a quarter of the startup time. Commands re-enable collection.
gc.disable()

from runtime.commands import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
