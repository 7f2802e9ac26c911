# `realwaste serve` alone, with nothing of the pipeline: docs/deploy.md says how to build and run it, and what was tried.
#
#   docker build -t realwaste-serve .
#   docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/models/cnn.keras:/model.keras:ro" realwaste-serve

FROM python:3.11-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/realwaste && /opt/realwaste/bin/pip install --no-cache-dir uv==0.13.9
COPY requirements-dev.txt pyproject.toml README.md LICENSE ./
COPY src ./src
# Without TensorFlow, which only heat maps and model files of earlier versions need: --build-arg EXTRAS=serve,train adds it.
ARG EXTRAS=serve
RUN /opt/realwaste/bin/uv pip install --no-cache --python /opt/realwaste/bin/python --constraint requirements-dev.txt \
    --compile-bytecode ".[$EXTRAS]" \
    && /opt/realwaste/bin/python -m pip uninstall --yes uv pip

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin realwaste \
    && install --directory --owner=10001 --mode=0700 /var/cache/realwaste
COPY --from=build /opt/realwaste /opt/realwaste
ENV PATH=/opt/realwaste/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 REALWASTE_CACHE=/var/cache/realwaste
USER 10001
EXPOSE 8000
# 127.0.0.1, since a name may be turned away; see --allowed-host.
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m CMD ["python", "-c", \
    "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=4)"]
# A command after the image's name takes the place of the last line: --model /other.keras --allowed-host waste.example
ENTRYPOINT ["realwaste", "serve", "--host", "0.0.0.0", "--port", "8000", "--access-log"]
CMD ["--model", "/model.keras"]
