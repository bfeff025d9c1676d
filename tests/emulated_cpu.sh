#!/bin/sh
# SPDX-License-Identifier: MIT
# emulated_cpu.sh - runs test programs on a processor with AVX-512 and AVX512-BF16 emulated by Bochs,
# for machines that have neither. From the build folder, with a kernel that has its serial driver
# built in (Debian's):
#
#     BOCHS=bochs KERNEL=/boot/vmlinuz-6.1.0-49-amd64 ../tests/emulated_cpu.sh test_kernels test_nn
#
# The script starts a Linux of that kernel and BusyBox from a CD-ROM image, which runs them one
# after another; their output comes over the serial line. Bochs 3.0 or later, configured with
# --enable-x86-64 --enable-avx --enable-evex --enable-long-phy-address --with-nogui and whatever
# makes it faster (--enable-repeat-speedups --enable-fast-function-calls --enable-handlers-chaining
# --enable-trace-linking); Debian's packages busybox-static, isolinux, syslinux-common, genisoimage,
# cpio, bochsbios and vgabios. A program that normally takes a second takes minutes. TIMEOUT is the
# limit for all programs in seconds. CPU: the processor, as in bochsrc. The default has AVX512-BF16,
# but Bochs 3.0 tells programs so only if get_std_cpuid_leaf_7 of
# cpu/cpudb/intel/corei7_skylake-x.cc is given a subleaf 1 (eax:
# get_std_cpuid_leaf_7_subleaf_1_eax(0)) and says in subleaf 0 that there is one; its later models
# did not start Linux 6.1.
#
# Bochs' FYL2X, of which the C library makes logl, has errors of up to 3e-16: two checks of
# test_kernels that compare logarithms with it (double_accuracy, elementwise_loops) fail under
# Bochs.

. "$(dirname "$0")/lib.sh"

set -e
BOCHS=${BOCHS-bochs}
make_tmp

[ -r "$KERNEL" ] || fail "KERNEL is to name a kernel's image"
[ $# -gt 0 ] || fail "which test programs?"

# ---- a root file system in memory ----

root=$tmp/root
mkdir -p "$root/bin" "$root/data" "$root/lib64" "$root/source/tests" "$tmp/cd/isolinux"
cp "$(command -v busybox)" "$root/bin/"
for name in sh mkdir mount sleep poweroff; do
    ln -s busybox "$root/bin/$name"
done
cp -L /lib64/ld-linux-x86-64.so.2 "$root/lib64/"
for program in "$@"; do
    cp "tests/$program" "$root/"
    strip "$root/$program"
    ldd "tests/$program" | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
done
cp -r "$srcdir/tests/torch" "$srcdir/tests/peers" "$root/source/tests/"
mkdir -p "$root/source/data"
cp "$srcdir"/data/*.txt "$root/source/data/"
if [ -r "${COTANGENT_DATA_DIR-}/timemachine.txt" ]; then
    cp "$COTANGENT_DATA_DIR/timemachine.txt" "$root/data/"
fi
cat >"$root/init" <<END
#!/bin/sh
mkdir -p /proc /tmp /dev
mount -t proc proc /proc
mount -t tmpfs tmp /tmp
mount -t devtmpfs dev /dev
export COTANGENT_DATA_DIR=/data srcdir=/source CK_DEFAULT_TIMEOUT=100000
cd /source/tests
status=0
for program in $*; do
    echo "== \$program"
    /\$program || status=1
done
echo "== status \$status"
sleep 1
poweroff -f
END
chmod +x "$root/init"

# ---- the image, and the machine ----

cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$tmp/cd/isolinux/"
cp "$KERNEL" "$tmp/cd/vmlinuz"
(cd "$root" && find . | cpio -o -H newc 2>/dev/null | gzip -1 >"$tmp/cd/init.gz")
cat >"$tmp/cd/isolinux/isolinux.cfg" <<END
DEFAULT linux
PROMPT 0
LABEL linux
 KERNEL /vmlinuz
 APPEND initrd=/init.gz rdinit=/init console=ttyS0 quiet mitigations=off nokaslr tsc=reliable lpj=1000000
END
genisoimage -quiet -R -o "$tmp/cd.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat \
    -no-emul-boot -boot-load-size 4 -boot-info-table "$tmp/cd"
cat >"$tmp/bochsrc" <<END
cpu: ${CPU-model=corei7_skylake_x, add_features=\"avx512bf16\"}, ips=100000000
memory: guest=2048, host=2048
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path=$tmp/cd.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$tmp/serial
display_library: nogui
log: $tmp/log
END

# Bochs keeps running after the machine has switched off.
timeout "${TIMEOUT-3600}" "$BOCHS" -q -f "$tmp/bochsrc" >"$tmp/out" 2>&1 </dev/null &
machine=$!
while kill -0 $machine 2>/dev/null && ! grep -q '^== status' "$tmp/serial" 2>/dev/null; do
    sleep 2
done
kill $machine 2>/dev/null || true
[ -s "$tmp/serial" ] || fail "it did not start: $(tail -n 3 "$tmp/out")"
sed -n '/^==/,$p' "$tmp/serial"
grep -q '^== status 0' "$tmp/serial"
