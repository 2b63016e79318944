# Two commands do everything: `make demo` shows it, `make test` proves it.
CLIENTS = g++ python3 python3-venv nodejs npm memcached libmemcached-tools libmemcached-dev amqp-tools librabbitmq-dev rabbitmq-server redis-server maven default-jre-headless

.PHONY: demo test torture check bench fuzz

demo: ## the whole story on real traffic, one minute
	@.ci/packages gcc libc6-dev
	cargo run --locked --release --bin forebay -- demo $(ARGS)

test: ## every test, lint and licence check
	@.ci/packages gcc libc6-dev $(CLIENTS)
	cargo xtask test

torture: ## the same suites, far longer
	@.ci/packages gcc libc6-dev $(CLIENTS)
	cargo xtask torture

check: ## format, house rules, lints
	cargo xtask check

bench: ## side by side with peers, into benches/report/
	@.ci/packages gcc libc6-dev memcached redis-server rabbitmq-server
	mkdir -p benches/report && cd benches && cargo build --locked --release --bins
	cd benches && target/release/memcached_front | tee report/memcached-front.md
	cargo build --locked --release --bin forebay
	cd benches && target/release/amqp report | tee report/amqp.md
	cd benches && target/release/durable_append report | tee report/durable-append.md
	cd benches && target/release/depth report | tee report/depth.md
	cd benches && target/release/depth_servers report | tee report/depth-servers.md
	cd benches && target/release/backend_cost report | tee report/backend-cost.md
	cd benches && target/release/recovery report | tee report/recovery.md
	cd benches && target/release/storms | tee report/storms.md
	cd benches && target/release/item_bytes | tee report/item-bytes.md
	cd benches && target/release/library | tee report/library.md
	cd benches && target/release/hit_ratio_servers | tee report/hit-ratio-servers.md
	cd benches && cargo bench --locked --bench hit_ratio | tee report/hit-ratio.md

fuzz: ## the parsers under a coverage-guided fuzzer, MINUTES each
	@.ci/packages gcc g++ libc6-dev
	fuzz/run $(MINUTES)
