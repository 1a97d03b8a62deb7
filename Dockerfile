# Exam Stream in containers.
#
#   docker build --target php -t exam-stream-php .        php-fpm with the extension
#   docker build --target server -t exam-stream .         the program alone
#
# The spool is a volume: answers that are accepted but not yet delivered must
# outlive the container.

ARG PHP=8.3

# --- build: the extension for this PHP, and the program ----------------------
FROM php:${PHP}-fpm-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential ca-certificates curl clang libclang-dev \
    && rm -rf /var/lib/apt/lists/*
RUN curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y -q --profile minimal
ENV PATH=/root/.cargo/bin:$PATH
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY src src
COPY crates crates
RUN cargo build --release --locked -p exam_stream -p exam-stream

# --- php: php-fpm with the extension, not root -------------------------------
FROM php:${PHP}-fpm-bookworm AS php
COPY --from=build /src/target/release/libexam_stream.so /tmp/exam_stream.so
# process_control_timeout lets workers end their request, and send, when the container stops.
# clear_env = no: credentials come in the environment.
RUN mv /tmp/exam_stream.so "$(php-config --extension-dir)/exam_stream.so" \
    && printf '%s\n' 'extension=exam_stream' 'exam_stream.spool_dir=/var/lib/exam-stream/spool' \
        > "$PHP_INI_DIR/conf.d/exam_stream.ini" \
    && printf '%s\n' '[global]' 'process_control_timeout = 5s' '[www]' 'clear_env = no' \
        > /usr/local/etc/php-fpm.d/zz-exam-stream.conf \
    && sed -i '/^user = /d; /^group = /d' /usr/local/etc/php-fpm.d/www.conf \
    && install -d -m 755 /var/lib/exam-stream \
    && install -d -m 700 -o www-data -g www-data /var/lib/exam-stream/spool \
    && php -m | grep -q '^exam_stream$'
USER www-data
VOLUME /var/lib/exam-stream/spool
EXPOSE 9000
CMD ["php-fpm"]

# --- server: the program alone -----------------------------------------------
FROM debian:bookworm-slim AS server
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/exam-stream --create-home --shell /usr/sbin/nologin exam-stream
COPY --from=build /src/target/release/exam-stream /usr/local/bin/exam-stream
USER exam-stream
VOLUME /var/lib/exam-stream
EXPOSE 4573
# Anybody who reaches the port may write unless EXAM_STREAM_ACCESS_KEY and
# EXAM_STREAM_SECRET_KEY are set.
ENTRYPOINT ["exam-stream"]
CMD ["serve", "--listen", "0.0.0.0:4573"]
