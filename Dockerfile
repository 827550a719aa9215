# Two stages: the first installs into /opt/openclip-api, the second copies that folder and nothing else.
#   BASE         the Python image of both stages
#   EXTRAS       extras of pyproject.toml to install as well: heic, jxl, raw, search, torch …
#   DEVICE       gpu keeps OpenVINO's plugin for Intel's GPUs
#   MODEL        a model to put into the image, for sites without a hub; it is then the image's MODEL_NAME
#   HF_ENDPOINT  the hub that MODEL comes from
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ARG EXTRAS= DEVICE=cpu
RUN python -m venv /opt/openclip-api
ENV PATH=/opt/openclip-api/bin:$PATH
WORKDIR /build
COPY requirements.lock ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY requirements-dev.lock pyproject.toml README.md LICENSE THIRD_PARTY.md ./
COPY src src
RUN pip install --no-cache-dir -c requirements-dev.lock ".${EXTRAS:+[$EXTRAS]}"
COPY deploy/image/slim.sh ./
RUN sh slim.sh /opt/openclip-api "${DEVICE}"
RUN mkdir /cache
ARG MODEL= HF_ENDPOINT=
RUN if [ -n "$MODEL" ]; then \
      HF_HOME=/cache HF_ENDPOINT=${HF_ENDPOINT:-https://huggingface.co} \
        python -c 'import sys, openclip_api; openclip_api.load(sys.argv[1])' "$MODEL" && chmod -R a+rwX /cache; \
    fi

FROM ${BASE}
ARG MODEL=
COPY --from=build /opt/openclip-api /opt/openclip-api
COPY --from=build /cache /cache
# Any user may write to the cache: OpenShift, Kubernetes and `docker run --user` pick the user.
RUN chmod 1777 /cache
ENV PATH=/opt/openclip-api/bin:$PATH HOME=/tmp HF_HOME=/cache HOST=0.0.0.0 PORT=7860 MODEL_NAME=${MODEL} \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv
USER 1000
EXPOSE 7860
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", "\
import os, urllib.request; \
names = ('SAGEMAKER_BIND_TO_PORT', 'AIP_HTTP_PORT', 'PORT'); \
port = next(filter(None, map(os.environ.get, names))); \
urllib.request.urlopen(f'http://127.0.0.1:{port}/health', timeout=2)"]
CMD ["openclip-api", "serve"]
