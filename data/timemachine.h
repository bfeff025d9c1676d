/* SPDX-License-Identifier: MIT */
/* timemachine.h - the text of the book's chapter, The Time Machine. */
#ifndef COTANGENT_DATA_TIMEMACHINE_H
#define COTANGENT_DATA_TIMEMACHINE_H

#include <cotangent/data/text.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Returns The Time Machine, by H. G. Wells (1895), as d2l.ai serves it: 178,979 bytes. Uses the
 * first of these that exists:
 *   1. path, unless it is NULL: any text
 *   2. $COTANGENT_DATA_DIR/timemachine.txt. Its SHA-256 must be the known one; otherwise
 *      CT_ERR_FORMAT with both digests
 *   3. the cache, $XDG_CACHE_HOME/cotangent or ~/.cache/cotangent. A file with another SHA-256 is
 *      downloaded again
 *   4. a download to the cache, in builds with libcurl: 5 s to connect, at most 1 MB, checked
 *      before it gets its name. COTANGENT_TIMEMACHINE_URL sets another address
 *   5. a sample text of about 40,000 characters that is part of the library. */
ct_text *ct_text_new_timemachine(const char *path);

#ifdef __cplusplus
}
#endif
#endif
