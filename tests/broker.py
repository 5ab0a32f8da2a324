"""A real Kafka broker on this machine: ``python -m tests.broker`` runs one until Ctrl-C.

Apache Kafka comes from Maven Central, once, into ``build/kafka``; it needs Java 17 and Maven. One
process in KRaft mode is broker and controller, and listens on the loopback interface only.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

VERSION = "4.1.0"
LIBRARIES = Path(__file__).parent.parent / "build" / "kafka" / VERSION
_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>stream-w2v</groupId><artifactId>broker</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""
_READY_SECONDS = 60


class BrokerError(Exception):
    """There can be no broker here; the message says why."""


def install() -> Path:
    """Return the folder with Kafka's jars, after getting them if they are not there."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            msg = f"a Kafka broker needs {program} (Debian: openjdk-17-jre-headless and maven)"
            raise BrokerError(msg)
    if not LIBRARIES.is_dir():
        LIBRARIES.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=LIBRARIES.parent) as folder:
            Path(folder, "pom.xml").write_text(_POM, encoding="utf-8")
            got = subprocess.run(
                ["mvn", "-q", "-B", "-ntp", "dependency:copy-dependencies",
                 "-DoutputDirectory=libs", "-DincludeScope=runtime"],
                cwd=folder, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if got.returncode:
                msg = f"Maven cannot get Kafka: {got.stdout.strip()[-500:]}"
                raise BrokerError(msg)
            # Another process may have been faster.
            with contextlib.suppress(OSError):
                Path(folder, "libs").rename(LIBRARIES)
    return LIBRARIES


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Broker:
    """A broker with its data in a folder; a context manager that starts and stops it.

    Parameters
    ----------
    folder
        For its data and its log.
    port
        Where it listens.
    settings
        More of Kafka's properties, which override ours; ``{controller}`` is its port.
    client
        Options that a client needs to be let in.
    """

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        client: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._settings = settings or {}
        self._client = client or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._java = ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", f"{install()}/*"]
        self._properties = folder / "server.properties"
        self._format()

    def _format(self) -> None:
        controller = free_port()
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            # Back soon after it was killed, instead of 12 seconds later.
            "broker.heartbeat.interval.ms": "200",
            "broker.session.timeout.ms": "1000",
            "log.retention.check.interval.ms": "300",
            "log.segment.delete.delay.ms": "100",
            "log.cleaner.backoff.ms": "100",
            **{
                name: value.replace("{controller}", str(controller))
                for name, value in self._settings.items()
            },
        }
        self._properties.parent.mkdir(parents=True, exist_ok=True)
        self._properties.write_text(
            "".join(f"{name}={value}\n" for name, value in properties.items()), encoding="utf-8"
        )
        # With the first bit clear it does not begin with a dash, which would be an option.
        number = uuid.uuid4().int & (1 << 127) - 1
        self._cluster = urlsafe_b64encode(number.to_bytes(16, "big")).decode().rstrip("=")
        done = subprocess.run(
            [*self._java, "kafka.tools.StorageTool", "format", "-t", self._cluster,
             "-c", str(self._properties)],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            msg = f"the broker's data cannot be made: {done.stderr.strip()[-500:]}"
            raise BrokerError(msg)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java, "kafka.Kafka", str(self._properties)], stdout=log, stderr=log
            )
        end = time.monotonic() + _READY_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                said = (self.folder / "broker.log").read_text(errors="replace")[-2000:]
                msg = f"the broker did not start: {said}"
                raise BrokerError(msg)
            time.sleep(0.05)

    def _answers(self) -> bool:
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        from stream_w2v.connectors.kafka_python import made

        try:
            # A port that listens is not yet a broker that knows its cluster.
            admin = made(
                KafkaAdminClient,
                bootstrap_servers=self.address,
                request_timeout_ms=2000,
                bootstrap_timeout_ms=300,
                **self._client,
            )
        except KafkaError:
            return False
        try:
            found = admin.describe_cluster()
            # Another one may listen there, whose port ours could not get.
            return found["cluster_id"] == self._cluster and len(found["brokers"]) > 0
        except KafkaError:
            return False
        finally:
            admin.close()

    def kill(self) -> None:
        """Kill it: what it had not written to the disk may be in the system's cache only."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it in order."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_READY_SECONDS)
            self._process = None

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()


def main() -> None:
    """Run a broker until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.broker", description=__doc__)
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--folder", type=Path, help="for its data; by default one that is removed")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as cleaning:
        folder = arguments.folder or Path(
            cleaning.enter_context(tempfile.TemporaryDirectory(prefix="stream-w2v-kafka-"))
        )
        broker = Broker(folder, arguments.port)
        broker.start()
        cleaning.callback(broker.stop)
        print(f"a Kafka broker listens on {broker.address}; Ctrl-C stops it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
        # Once is enough: stopping takes a moment.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
