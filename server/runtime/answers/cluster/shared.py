"""What the parts that answer need to know of the other nodes."""

from server.ports import MessageStore
from server.runtime.answers.cluster.heard import HeardStreams
from server.runtime.answers.cluster.leases import Leases
from server.runtime.base.background import Background
from server.runtime.nodes.cluster import Cluster
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.room import Room


class Shared:
    """`lease_seconds`: after which the work of a node that is gone is free."""

    def __init__(
        self,
        cluster: Cluster,
        manager: ConnectionManager,
        replies: Replies,
        store: MessageStore,
        background: Background,
        lease_seconds: float,
    ) -> None:
        self.cluster = cluster
        self.background = background
        self.leases = Leases(cluster.backplane, cluster.node_id, lease_seconds, background)
        self.heard = HeardStreams(
            manager,
            replies,
            cluster.fan_out,
            store,
            background,
            cluster.switchboard,
            cluster.channels,
            cluster.members,
        )

    async def is_elsewhere(self, room: Room) -> bool:
        """Tell whether the user has a device on another node; one that is not known of is not there."""
        assert room.conversation is not None
        places = await self.cluster.places.of_user(room.conversation.user_id)
        return any(place.node_id != self.cluster.node_id for place in places or ())
