# The server, without PyTorch and not as root: docker build -t asr . && docker run --rm -p 127.0.0.1:8000:8000 asr
FROM python:3.11-slim
RUN --mount=type=bind,target=/src,rw \
    pip install --no-cache-dir --constraint /src/constraints.txt '/src[server,media,lexicon]' \
    && useradd --create-home --uid 1000 asr
USER 1000
# Compiles and caches the decoder and the language model, so that the server starts at once.
RUN --mount=type=bind,source=tests/data,target=/recordings asr transcribe /recordings/1088-134315-0013.opus
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/ready', timeout=3)"]
ENTRYPOINT ["asr"]
CMD ["serve", "--host", "0.0.0.0"]
