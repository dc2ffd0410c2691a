# The operator's image, for those who have a container builder and a registry. scripts/build-image makes one without
# either. In both the programs are the same, and the user is that of the chart.
FROM debian:bookworm AS build
COPY scripts/install-deps /src/scripts/install-deps
RUN /src/scripts/install-deps
COPY . /src
WORKDIR /src
RUN cmake --preset release \
 && cmake --build --preset release --target spillway-operator spillway \
 && cmake --install build/release --prefix /out/usr --strip

FROM debian:bookworm-slim
RUN apt-get update -q \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
      libcpprest2.10 libcurl4 libyaml-cpp0.7 libprometheus-cpp-core1.0 libsimdjson14 libspdlog1.10 libfmt9 libssl3 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/ /
# Numbers, so that a kubelet can see that it is not root.
USER 65532:65532
ENTRYPOINT ["/usr/bin/spillway-operator"]
