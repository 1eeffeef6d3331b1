"""Settings that both ways to run the node share."""

from __future__ import annotations

CLUSTER_ID = "Zm9yZWJheS10ZXN0cy1rYQ"  # any 16 bytes in base64
HEAP = "-Xmx512m"
READY_TIMEOUT_S = 60.0


def server_properties(address: str, bind_host: str, controller_port: int, data_folder: str) -> dict[str, str]:
    """Server settings: one node, small internal topics, nothing that waits."""
    port = address.rpartition(":")[2]
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"PLAINTEXT://{bind_host}:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{address}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "log.dirs": data_folder,
        # A misspelt topic must fail, not appear.
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        # Transactions of killed workers end at their own timeout, not up to 10 s later.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # After a kill the broker may come back once its old session is over (default 9 s).
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
    }
