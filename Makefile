# Two commands do everything: `make demo` shows it, `make test` proves it.
.PHONY: demo test torture check bench

demo: ## the whole story on real traffic, one minute
	@.ci/packages gcc libc6-dev
	cargo run --locked --release --bin forebay -- demo $(ARGS)

test: ## every test, lint and licence check
	@.ci/packages gcc libc6-dev python3 python3-venv memcached libmemcached-tools
	cargo xtask test

torture: ## the same suites, far longer
	@.ci/packages gcc libc6-dev python3 python3-venv memcached libmemcached-tools
	cargo xtask torture

check: ## format, house rules, lints
	cargo xtask check

bench: ## side by side with peers, into benches/report/
	@.ci/packages gcc libc6-dev memcached redis-server
	cargo build --locked --release --bin forebay
	cd benches && cargo run --locked --release
