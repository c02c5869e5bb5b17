"""The files around a model that is served: one way to start it, and what docker, compose and systemd make of that.

`serve` is all there is to starting: the image's command, which SageMaker calls by that very name (`docker run IMAGE
serve`), the service's, and that of whoever tries it by hand.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

PORT = 8080
"""Inside of the container: SageMaker asks there, Vertex AI says by AIP_HTTP_PORT, which is the same unless set."""
MODEL, SERVE, REQUIREMENTS, COMPOSE = "model", "serve", "requirements.txt", "compose.yaml"
DOCKERFILE, IGNORED = "Dockerfile", ".dockerignore"
USER = 10001
"""No user of the host's."""


@dataclass(frozen=True)
class Deployment:
    """What the files say.

    Attributes:
        name: Of the model, the image, the service and the folder that the unit looks in.
        runtime: What runs the model.
        title: The model, in words.
        wheel: File name of llmkit's wheel.
        port: Where compose and systemd listen, on 127.0.0.1.
        memory: Most memory that they let it have, in MB.
    """

    name: str
    runtime: str
    title: str
    wheel: str
    port: int
    memory: int

    @property
    def unit(self) -> str:
        """File name of the unit."""
        return f"{self.name}.service"

    def write(self, directory: Path) -> None:
        """Write all of them."""
        files = {
            SERVE: _SCRIPT.format(name=self.name, runtime=self.runtime, model=MODEL, port=PORT),
            DOCKERFILE: self.dockerfile(),
            IGNORED: f"*\n!{MODEL}\n!{SERVE}\n!{REQUIREMENTS}\n!{self.wheel}\n",
            COMPOSE: self.compose(),
            self.unit: self.service(),
        }
        for name, text in files.items():
            (directory / name).write_text(text, encoding="utf-8")
        (directory / SERVE).chmod(0o755)

    def dockerfile(self) -> str:
        """Return the recipe of the image."""
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return _DOCKERFILE.format(name=self.name, python=python, wheel=self.wheel, user=USER, port=PORT)

    def compose(self) -> str:
        """Return the description for `docker compose up`."""
        return _COMPOSE.format(title=self.title, name=self.name, port=self.port, inner=PORT, memory=self.memory)

    def service(self) -> str:
        """Return the unit for systemd."""
        return _SERVICE.format(title=self.title, name=self.name, port=self.port, memory=self.memory)


_SCRIPT = """\
#!/bin/sh
# Start the server on the model beside this file: by hand, as a service, in a container, on SageMaker and on Vertex AI.
# MODEL, HOST, PORT, PYTHON and OPTIONS are read from the environment, and so is what Vertex AI says (AIP_HTTP_PORT; the
# server itself reads AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE). Arguments go to `llmkit serve`, as OPTIONS do.
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck disable=SC2086 # OPTIONS are several words
exec "${{PYTHON:-python}}" -m llmkit serve --model "{name}=${{MODEL:-$here/{model}}}" --runtime {runtime} \\
  --host "${{HOST:-127.0.0.1}}" --port "${{AIP_HTTP_PORT:-${{PORT:-{port}}}}}" ${{OPTIONS:-}} "$@"
"""

_DOCKERFILE = """\
# docker build -t {name} . && docker run --rm -p 127.0.0.1:{port}:{port} {name}
FROM python:{python}-slim
WORKDIR /srv/{name}
COPY requirements.txt {wheel} ./
RUN pip install --no-cache-dir -r requirements.txt ./{wheel}
COPY serve ./
COPY model ./model
# SageMaker starts `serve` by its name; what is written lies in /tmp, so that everything else can be read-only.
RUN chmod 755 serve && ln -s /srv/{name}/serve /usr/local/bin/serve
# Who asks is the platform's affair, and compose's port is this machine's alone; LLMKIT_API_KEY asks for a key as well.
ENV HOST=0.0.0.0 OPTIONS=--insecure
ENV HOME=/tmp XDG_CACHE_HOME=/tmp HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1
USER {user}
EXPOSE {port}
HEALTHCHECK --start-period=120s --interval=15s --timeout=5s \\
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:{port}/health')"]
CMD ["serve"]
"""

_COMPOSE = """\
# {title}: docker compose up --build
services:
  {name}:
    build: .
    image: {name}
    ports: ["127.0.0.1:{port}:{inner}"]
    restart: unless-stopped
    read_only: true
    tmpfs: [/tmp]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    mem_limit: {memory}m
    stop_grace_period: 30s
"""

_SERVICE = """\
# The folder lies in /opt/{name}, with an environment in it:
#   python3 -m venv .venv && .venv/bin/pip install -r requirements.txt ./llmkit-*.whl
#   systemctl enable --now /opt/{name}/{name}.service
[Unit]
Description={title}, by llmkit serve
After=network.target

[Service]
Type=exec
ExecStart=/bin/sh /opt/{name}/serve
Environment=PYTHON=/opt/{name}/.venv/bin/python HOST=127.0.0.1 PORT={port}
Environment=HF_HUB_OFFLINE=1 HOME=/var/cache/{name} XDG_CACHE_HOME=/var/cache/{name}
CacheDirectory={name}
WorkingDirectory=/opt/{name}
DynamicUser=yes
Restart=on-failure
RestartSec=5
TimeoutStopSec=30
MemoryMax={memory}M
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
# A GPU is a device: without this line it is seen.
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
UMask=0077
LockPersonality=yes
CapabilityBoundingSet=

[Install]
WantedBy=multi-user.target
"""
