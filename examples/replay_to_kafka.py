"""Send the lines of a text to a Kafka topic, so many in a second, again and again.

python examples/replay_to_kafka.py TEXT kafka://localhost:9092/TOPIC [--rate 2000] [--once]
"""

import argparse
import time
from urllib.parse import urlsplit

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic
from kafka.errors import TopicAlreadyExistsError

from stream_w2v.connectors import open_source


def main() -> None:
    """Send until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", help="a file, a glob, or - for standard input")
    parser.add_argument("topic", help="kafka://host:port/topic; it is made if it is not there")
    parser.add_argument("--rate", type=float, default=2000, help="messages in a second")
    parser.add_argument("--once", action="store_true", help="stop at the end of the text")
    arguments = parser.parse_args()
    url = urlsplit(arguments.topic)
    topic = url.path.strip("/")
    make(url.netloc, topic)
    producer = KafkaProducer(bootstrap_servers=url.netloc, compression_type="lz4", linger_ms=20)
    begin, sent = time.monotonic(), 0
    try:
        while True:
            for line in lines(arguments.text):
                producer.send(topic, line)
                sent += 1
                ahead = sent / arguments.rate - (time.monotonic() - begin)
                if ahead > 0.01:
                    time.sleep(ahead)
                if sent % 10_000 == 0:
                    print(f"{sent:,} messages sent", flush=True)
            if arguments.once:
                break
    except KeyboardInterrupt:
        pass
    producer.flush()
    producer.close()
    print(f"{sent:,} messages sent")


def make(broker: str, topic: str) -> None:
    """Make the topic, unless it is there."""
    admin = KafkaAdminClient(bootstrap_servers=broker)
    try:
        admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    except TopicAlreadyExistsError:
        pass
    finally:
        admin.close()


def lines(text: str):
    """Yield the lines of a text, compressed or not."""
    with open_source(text) as source:
        for batch in source:
            yield from batch.records()


if __name__ == "__main__":
    main()
