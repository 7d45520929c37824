"""chatctl token"""

import time
import warnings
from typing import Annotated

import jwt
import typer

from chatctl.failure import MISUSED, CommandError
from chatctl.options import Config, Json, command_app, examples
from chatctl.output import print_done
from chatctl.settings import settings_of
from server.protocol import is_identifier

HOUR = 3600

app = command_app()


@app.command(
    epilog=examples(
        "chatctl token user123",
        "chatctl token user123 --seconds 60",
        'curl -H "Authorization: Bearer $(chatctl token user123)" http://127.0.0.1:8000/api/conversations?user_id=user123',
    )
)
def command(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    seconds: Annotated[int, typer.Option(min=1, help="How long it is valid.")] = HOUR,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Mint a JWT for development.

    Signed with auth.jwt_secret of the configuration."""
    if not is_identifier(user):
        raise CommandError(f"no identifier: {user}", exit_code=MISUSED)
    auth = settings_of(config, insecure=True).auth
    secret = auth.jwt_secret.get_secret_value()
    if not secret:
        raise CommandError(
            "there is no auth.jwt_secret to sign with; set it in config.toml or CHAT_AUTH__JWT_SECRET",
            exit_code=MISUSED,
        )
    expires = int(time.time()) + seconds
    claims = {"sub": user, "exp": expires} | ({"aud": auth.jwt_audience} if auth.jwt_audience else {})
    with warnings.catch_warnings(action="ignore", category=jwt.InsecureKeyLengthWarning):  # doctor's business
        token = jwt.encode(claims, secret, algorithm=auth.jwt_algorithms[0])
    print_done({"token": token, "user_id": user, "expires_at": expires}, token, as_json)
