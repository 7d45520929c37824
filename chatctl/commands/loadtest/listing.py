"""chatctl loadtest list"""

from chatctl.commands.loadtest.app import app
from chatctl.options import Json, examples
from chatctl.output import print_json, print_table
from loadtest.plan import SCENARIOS


@app.command(
    "list",
    epilog=examples("chatctl loadtest list", "chatctl loadtest list --json | jq '.[].name'"),
)
def list_scenarios(as_json: Json = False) -> None:
    """List the scenarios: what each proves, and its defaults."""
    scenarios = [
        {
            "name": scenario.name,
            "proves": scenario.proves,
            "invariants": list(scenario.invariants),
            "users": scenario.users,
            "devices": scenario.devices,
            "rate": scenario.rate,
            "duration": scenario.duration,
        }
        for scenario in SCENARIOS.values()
    ]
    if as_json:
        print_json(scenarios)
        return
    rows = [
        (one["name"], one["users"], one["devices"], one["rate"], one["duration"], one["proves"])
        for one in scenarios
    ]
    print_table(("scenario", "users", "devices", "messages/s", "seconds", "proves"), rows)
