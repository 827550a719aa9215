FROM python:3.13-slim

# Uid 1000 is what Hugging Face Spaces runs; a fresh volume takes over the folder's owner.
RUN useradd --create-home --uid 1000 user && install -d -o user -g user /home/user/.cache
USER user
WORKDIR /home/user/app
ENV PATH=/home/user/.local/bin:$PATH HOST=0.0.0.0 PORT=7860

COPY --chown=user pyproject.toml requirements.lock README.md LICENSE THIRD_PARTY.md ./
COPY --chown=user src src
RUN pip install --user --no-cache-dir -c requirements.lock .

VOLUME /home/user/.cache
EXPOSE 7860
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=2)"]
CMD ["openclip-api", "serve"]
