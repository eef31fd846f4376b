#!/usr/bin/env python3
"""A counter that outlives its kernel: /dev/liveupdate as the kernel has it, with nothing but ctypes.
    outlive compat --device d -- python3 liveupdate.py     # counts, then holds until Ctrl-D
    outlive compat --device d --reboot                     # meanwhile, elsewhere: as a kexec; then start it again"""
import ctypes, errno, fcntl, mmap, os, sys
CREATE_SESSION, RETRIEVE_SESSION, PRESERVE_FD, RETRIEVE_FD = 0xBA00, 0xBA01, 0xBA40, 0xBA41
class Session(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("fd", ctypes.c_int32), ("name", ctypes.c_char * 64)]
class File(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("fd", ctypes.c_int32), ("token", ctypes.c_uint64)]
def request(fd, number, body):
    body.size = ctypes.sizeof(body)
    fcntl.ioctl(fd, number, body)
    return body.fd
device = os.open("/dev/liveupdate", os.O_RDWR | os.O_CLOEXEC)
try:
    incoming = request(device, RETRIEVE_SESSION, Session(name=b"counter"))
    memory = request(incoming, RETRIEVE_FD, File(token=1))
    os.close(incoming)  # a close is a FINISH: the memory is ours alone
except OSError as error:
    if error.errno != errno.ENOENT: raise
    memory = os.memfd_create("counter")
    os.ftruncate(memory, 8)
count = ctypes.c_uint64.from_buffer(mmap.mmap(memory, 8))
count.value += 1
session = request(device, CREATE_SESSION, Session(name=b"counter"))
request(session, PRESERVE_FD, File(fd=memory, token=1))
print(f"kernel {count.value}", flush=True)
sys.stdin.read()  # a session lives as long as somebody has it open
