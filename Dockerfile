# The gear's image. Build: docker build -t fw-gear-deid . — needs no engine features beyond COPY and RUN.
FROM python:3.11-slim

ENV FLYWHEEL=/flywheel/v0 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR ${FLYWHEEL}

COPY requirements.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.txt && pip check

COPY manifest.json run.py ./
COPY fw_gear_deid ./fw_gear_deid
COPY profiles ./profiles

# The platform writes input/, output/ and config.json as root; a local run may use any user.
# A checkout under a strict umask has files that only their owner may read. Compiled once, not at each start.
RUN python -m compileall -q fw_gear_deid && chmod -R a+rX . && mkdir -p input output work && chmod 777 output work && useradd --create-home gear
USER gear

# The platform runs the manifest's command instead; "docker run IMAGE ARGS" is the command line.
ENTRYPOINT ["python", "/flywheel/v0/run.py"]
