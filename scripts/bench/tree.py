# Writes a workspace's worth of files: text like source code, and float32 weights.
import os, random, sys
root, megabytes, files = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
words = ["".join(random.Random(i).choices("abcdefghijklmnopqrstuvwxyz_", k=3 + i % 9)) for i in range(4000)]
r = random.Random(1)
for n in range(files):
    d = os.path.join(root, "src", "pkg%02d" % (n % 89))
    os.makedirs(d, exist_ok=True)
    lines = ("%s = %s(%s, %d)\n" % (r.choice(words), r.choice(words), r.choice(words), r.randrange(10**6)) for _ in range(r.randrange(20, 700)))
    with open(os.path.join(d, "m%d.py" % n), "w") as f:
        f.writelines(lines)
# Weights about zero: sign and exponent take few values, the mantissa's bits are noise.
high = bytes(((0x80 if i & 1 else 0) | (0x3d if i % 7 else 0x3c)) for i in range(256))
os.makedirs(os.path.join(root, "weights"))
for n in range(4):
    with open(os.path.join(root, "weights", "layer%d.bin" % n), "wb") as f:
        left = megabytes * 1000000 // 4
        while left > 0:
            k = min(left, 1 << 24) // 4 * 4 or 4
            b = bytearray(k)
            for i in range(3):
                b[i::4] = r.randbytes(k // 4)
            b[3::4] = r.randbytes(k // 4).translate(high)
            f.write(b)
            left -= k
