# The package and its study quick, on a CPU: docker build -t nas-stability . && docker run --rm nas-stability
FROM python:3.12-slim

WORKDIR /work
COPY . /source
RUN pip install --no-cache-dir /source && rm -rf /source

USER 1000
ENV HOME=/tmp
WORKDIR /tmp
ENTRYPOINT ["nas-stability"]
CMD ["study", "quick"]
