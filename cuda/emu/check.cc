/* check.cc - the checker of instrumented kernels. */
#include "cuda/emu/internal.h"
namespace emu
{
bool checking;
void check_begin_launch(unsigned){}
void check_begin_block(){}
void check_warp_sync(unsigned,unsigned){}
void check_end_block(){}
void check_live(allocation *){}
void check_freed(allocation *){}
void check_forgotten(allocation *){}
void check_bulk(const char *, const void *, size_t, bool){}
void check_copied(void *, const void *, size_t){}
}
void emu_atomic(void *, size_t){}
void emu_count_sectors(bool){}
void emu_each_sector(emu_sector_visitor *, void *){}
