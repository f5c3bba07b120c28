# This needs Docker; `make images` does not.
#   docker build --target manager -t REGISTRY/manager:TAG .
#   docker build --target runner -t REGISTRY/runner:TAG .
#   docker build --target server -t REGISTRY/server:TAG .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY api api
COPY controllers controllers
COPY runner runner
ARG VERSION=dev
ENV CGO_ENABLED=0
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    for main in controllers/manager runner/stock api/server; do \
        go build -trimpath -buildvcs=false -tags timetzdata \
            -ldflags "-s -w -X main.version=${VERSION}" -o /out/$main ./$main || exit 1; \
    done

FROM scratch AS base
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
USER 65532:65532

FROM base AS runner
COPY --from=build /out/runner/stock /runner
ENTRYPOINT ["/runner"]

FROM base AS server
COPY --from=build /out/api/server /server
ENTRYPOINT ["/server"]

FROM base AS manager
COPY --from=build /out/controllers/manager /manager
ENTRYPOINT ["/manager"]
