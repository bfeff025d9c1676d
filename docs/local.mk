# SPDX-License-Identifier: MIT
# ---- the pages and the site ----------------------------------------------------------------

pages = \
	CHANGELOG.md \
	CONTRIBUTING.md \
	README.md \
	SECURITY.md \
	bench/README.md \
	docs/architecture.md \
	docs/compressor.md \
	docs/cuda.md \
	docs/dialects.md \
	docs/embedding.md \
	docs/emulator.md \
	docs/errors.md \
	docs/examples.md \
	docs/faq.md \
	docs/from_pytorch.md \
	docs/glossary.md \
	docs/index.md \
	docs/manual.md \
	docs/memory.md \
	docs/performance.md \
	docs/platforms.md \
	docs/pytorch_names.md \
	docs/recurrent_module.md \
	docs/release.md \
	docs/reliability.md \
	docs/scaling.md \
	docs/testing.md \
	docs/threads.md \
	docs/tutorial.md
nobase_dist_doc_DATA += LICENSE docs/training.svg $(pages)

EXTRA_DIST += \
	docs/Doxyfile \
	docs/cotangent.3.in \
	docs/doxygen_style.css \
	docs/doxygen_examples.awk \
	docs/doxygen_filter.awk \
	docs/doxygen_layout.xml \
	docs/doxygen_pages.awk \
	docs/doxygen_search.awk \
	docs/man3.awk

# The site: the pages, the examples and the reference of the headers, in docs/html. A warning is an
# error.
docs_html = $(abs_builddir)/docs/html
docs:
	@test '$(DOXYGEN)' != no || { \
	    echo 'make docs needs Doxygen 1.9.4 or newer (Debian: apt-get install doxygen); then run configure again' >&2; \
	    exit 1; }
	$(AM_V_GEN)$(MKDIR_P) docs && cd $(srcdir) && \
	{ cat docs/Doxyfile && echo 'PROJECT_NUMBER = $(PACKAGE_VERSION)' && \
	  echo 'INPUT = $(pages) $(public_headers) $(filter examples/%.c,$(nobase_doc_DATA))' && \
	  echo 'OUTPUT_DIRECTORY = "$(abs_builddir)/docs"' && echo 'STRIP_FROM_PATH = "'"`pwd`"'"'; } | \
	DOCS_AWK='$(AWK)' DOCS_NAMES="`$(AWK) -v names=1 -f m4/sites.awk $(public_headers) && \
	    sed -n 's/^typedef struct \(ct_[a-z0-9_]*\).*/\1/p' $(public_headers)`" $(DOXYGEN) -
	$(AM_V_at)search=`cd $(srcdir)/docs && pwd`/doxygen_search.awk && cd docs/html/search && \
	$(AWK) -f "$$search" searchdata.js all_*.js
html-local: docs
# Into docdir/html, beside the pages. It is not part of `make install`.
install-html-local: docs
	$(MKDIR_P) '$(DESTDIR)$(htmldir)'
	cp -R docs/html '$(DESTDIR)$(htmldir)'

.PHONY: docs

# Manual pages of the headers: one for each, and one for each name, which shows the header's. The date
# is that of the release (VERSION).
all-local: docs/man3/stamp
docs/man3/stamp: docs/cotangent.3.in docs/man3.awk $(public_headers)
	$(AM_V_GEN)rm -rf docs/man3 && $(MKDIR_P) docs/man3 && out=`cd docs/man3 && pwd` && \
	(cd $(srcdir) && LC_ALL=C $(AWK) -f docs/man3.awk -v out="$$out" -v date=$(COTANGENT_DATE) \
	-v version=$(PACKAGE_VERSION) docs/cotangent.3.in $(public_headers)) && touch $@
man3dir = $(mandir)/man3
install-man3:
	$(MKDIR_P) '$(DESTDIR)$(man3dir)'
	$(INSTALL_DATA) docs/man3/*.3 '$(DESTDIR)$(man3dir)'
uninstall-man3: docs/man3/stamp
	cd docs/man3 && for page in *.3; do rm -f '$(DESTDIR)$(man3dir)'/$$page; done
.PHONY: install-man3 uninstall-man3
