# The same set-up as `make run`, for a host with containers. One volume holds everything that must last.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    CONTINUAL_DATA_DIR=/app/data/runtime CONTINUAL_HOST=0.0.0.0 CONTINUAL_PORT=8501

WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir uv && uv pip install --system --no-cache -r requirements.txt
# Chromium takes the pictures of reports. `--build-arg PICTURES=no` leaves it out; reports are then made as HTML alone.
ARG PICTURES=yes
RUN if [ "$PICTURES" = yes ]; then apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium \
    && rm -rf /var/lib/apt/lists/*; fi
COPY app.py pyproject.toml LICENSE ./
COPY .streamlit ./.streamlit
COPY core ./core
COPY jobs ./jobs
COPY pages ./pages
COPY data/samples ./data/samples
COPY docs/grafana.json ./docs/grafana.json
RUN useradd --create-home continual && mkdir -p /app/data/runtime && chown -R continual /app/data/runtime
USER continual

VOLUME /app/data/runtime
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/health', timeout=4)"]
CMD ["streamlit", "run", "app.py", "--server.port", "8501", "--server.address", "0.0.0.0"]
