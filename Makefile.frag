$(phplibdir)/exam_stream.so: FORCE
	cd $(srcdir) && PHP=$(PHP_EXECUTABLE) PHP_CONFIG=$(prefix)/bin/php-config $(CARGO) build --release --locked -p exam_stream --target-dir $(builddir)/target
	@mkdir -p $(phplibdir)
	cp $(builddir)/target/release/libexam_stream.so $@

FORCE:
.PHONY: FORCE
