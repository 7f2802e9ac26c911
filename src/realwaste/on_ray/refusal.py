"""What a worker refuses to go on for, on its way to the process that sent it.

As a result and not as an exception, of which Ray keeps the text alone, or tries the work again; as text, which passes
through whatever Ray sends results by.
"""

import json

from realwaste.errors import UserError


def packed(error: UserError) -> str:
    return json.dumps([error.rule, error.remedy, error.received], default=str)


def unpacked(text: str) -> UserError:
    return UserError(*json.loads(text))
