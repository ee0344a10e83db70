# swtrace's commands. `make` lists them.
#
# Everything a target needs is set up by it (scripts/setup), on Debian 12 with a Swift 6.3 toolchain. `make SETUP=: …` leaves
# the machine's packages alone.

SHELL   = /bin/bash
PREFIX  = /usr/local
DESTDIR =
SETUP   = scripts/setup
SWTRACE = build/swtrace
# How long the agent is watched by bench, and killed by soak.
AGENT_MINUTES ?= 10
SOAK_MINUTES  ?= 15
# For what needs root; the build itself never does. PATH is passed on, because sudo replaces it.
ROOT   := $(shell [ "$$(id -u)" = 0 ] || echo 'sudo env "PATH=$$PATH"')

# One static file: no shared library, no compiler and no kernel header at run time.
RELEASE = --configuration release --static-swift-stdlib -Xswiftc -static-executable $(WITHOUT_FOUNDATION)

# The argument parser uses Foundation for a hidden option (help as JSON, which swtrace refuses) and for the texts of errors that are
# Foundation's. That would be 5 of 19 MB. Symbols that are defined here are not looked for in its archive.
FOUNDATION = 11JSONEncoderC16OutputFormattingV10sortedKeysAEvau 11JSONEncoderC16OutputFormattingV13prettyPrintedAEvau \
	11JSONEncoderCACycfc 11JSONEncoderCMa
STRINGS = E4data8encodingSSSgAA4DataVh_SSAAE8EncodingVtcfC E8EncodingV4utf8ACvau
WITHOUT_FOUNDATION = $(foreach name,$(FOUNDATION),-Xlinker '--defsym=$$s20FoundationEssentials$(name)=abort') \
	$(foreach name,$(STRINGS),-Xlinker '--defsym=$$sSS20FoundationEssentials$(name)=abort') \
	-Xlinker '--defsym=$$s20FoundationEssentials14LocalizedErrorMp=$$s5Tools17WithoutFoundationMp'

.DEFAULT_GOAL = help
.PHONY: help build release agent run run-agent test deb test-here test-packaging test-dashboards bench soak lint install check-release clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

build: ## debug build in .build/debug
	@$(SETUP) build
	swift build

release: ## the static, stripped release binary build/swtrace
	@$(SETUP) build
	@# The linker's warnings about dlopen and getpwnam are expected in a static program; nothing here reaches them.
	swift build $(RELEASE) --product swtrace
	@mkdir -p build
	strip --strip-all -o $(SWTRACE) .build/release/swtrace

agent: ## the agent build/swtrace-agent
	@$(SETUP) build
	@# Assertions in C have the names of their files.
	swift build --configuration release --static-swift-stdlib --product swtrace-agent -Xcc -ffile-prefix-map=$(CURDIR)/=
	@mkdir -p build
	strip --strip-all -o build/swtrace-agent .build/release/swtrace-agent

run-agent: agent ## profile this machine until Ctrl-C, with the page on http://localhost:7380/
	@# In a folder that the agent makes itself: it gives up the privilege to write into those of others.
	$(ROOT) env SWTRACE_STORE_PATH=$(CURDIR)/build/agent/agent.db build/swtrace-agent

run: release ## profile this machine for 10 s: swtrace-profile.html and swtrace-profile.folded
	$(ROOT) $(SWTRACE) profile --frequency 99 --duration 10 --output swtrace-profile.html --output swtrace-profile.folded --summary 15

test: ## every test but that of the packages: here, under five kernels in virtual machines, in a browser, with Prometheus
	@$(SETUP) build test web dashboards
	swift build --build-tests
	@# The virtual machines test the release binary: what users get, and several times faster where all is emulated.
	@$(MAKE) --no-print-directory release
	@Tests/run here fuzz kernels web dashboards

test-here: ## the tests that need no virtual machine and no browser
	@$(SETUP) build
	swift build --build-tests
	@Tests/run here fuzz

deb: release agent ## Debian packages of both in build/deb
	@$(SETUP) packaging
	packaging/deb $(SWTRACE) build/swtrace-agent build/deb

test-packaging: deb ## whether the packages are right, install, upgrade and go
	@Tests/run packaging

test-dashboards: ## whether dashboards and alerts fit the agent
	@$(SETUP) build dashboards
	swift build --product swtrace-agent
	@Tests/run dashboards

bench: release ## swtrace side by side with libbpf-tools, bpftrace and perf; the agent for AGENT_MINUTES=10
	@$(SETUP) build bench
	swift build $(RELEASE) --product InProcessBenchmark
	@# Last, for it is built with other settings.
	@$(MAKE) --no-print-directory agent
	swift build --configuration release --static-swift-stdlib --product StoreBenchmark
	$(ROOT) env AGENT_MINUTES=$(AGENT_MINUTES) Benchmarks/run

soak: agent ## the agent under fork storms, container churn and kill -9, for SOAK_MINUTES=15
	@$(SETUP) build bench
	$(ROOT) env SOAK_MINUTES=$(SOAK_MINUTES) Benchmarks/soak.py

lint: ## format, warnings, scripts, size and contents of the release
	@$(SETUP) build lint
	@scripts/lint
	@$(MAKE) --no-print-directory release
	@scripts/lint-release $(SWTRACE)

# `sudo make install` must not build as root: it only makes sure that `make release` has been run since the last change.
install: $(if $(SUDO_UID),check-release,release) ## copy the release binary: PREFIX=/usr/local DESTDIR=
	install -D -m 755 $(SWTRACE) $(DESTDIR)$(PREFIX)/bin/swtrace

check-release:
	@scripts/check-release $(SWTRACE)

clean: ## remove everything that was built
	@for each in build/agent .build-web .build-dashboards; do [ ! -e $$each ] || $(ROOT) rm -rf $$each; done
	rm -rf .build .build-lint build swtrace-profile.html swtrace-profile.folded
