/* One tile of attention: scores become weights, and what each query row adds up over the tile's keys.
 *
 * Compiled by tile_kernel.py, which states what every argument is. A row's largest score is not known before its last
 * tile, so that sums are kept relative to the largest seen so far and scaled down when a larger one comes (online
 * softmax, Milakov and Gimelshein 2018). Sums have 16 lanes on every machine, so that their order does not depend on it;
 * a machine whose vectors are narrower goes over the keys once for each part of the lanes, since the sums of more would
 * not stay in its registers.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 16
#ifndef WIDTH
#if defined(__AVX512F__)
#define WIDTH 16
#elif defined(__AVX__)
#define WIDTH 8
#else
#define WIDTH 4
#endif
#endif
#define NO_TOKEN -1
#define WORTH_SHARING 65536 /* scores of a tile from which more threads than one are worth waking */
#define LEAST -87.0f /* where exp leaves float's normal range */
typedef float floats __attribute__((vector_size(4 * WIDTH)));
typedef int32_t ints __attribute__((vector_size(4 * WIDTH)));

/* Columns of a row's state; STATE in tile_kernel.py gives them the same order. */
enum { LARGEST, TOTAL, SCORE, SQUARE, DISTANCE, DUPLICATE, INDUCTION, DIAGONAL, PREVIOUS, FIRST, COLUMNS };

typedef struct {
    floats total, running, score, square, duplicate, induction; /* running: sum of total after each vector */
} sums;

static inline floats all(float value) { return (floats){0} + value; }

static inline floats load(const float *from) {
    floats found;
    memcpy(&found, from, sizeof found);
    return found;
}

static inline ints load_ids(const int32_t *from) {
    ints found;
    memcpy(&found, from, sizeof found);
    return found;
}

/* All bits of the first lanes, so many, and none of the others. */
static inline ints lanes_before(int64_t number) {
    ints lane, limit = (ints){0} + (int32_t)(number < 0 ? 0 : number < WIDTH ? number : WIDTH);
    for (int i = 0; i < WIDTH; i++) lane[i] = i;
    return lane < limit;
}

/* The larger of two, the second where either is NaN; and a sum of the lanes whose token is the row's own. */
#if WIDTH == 16 && defined(__AVX512F__)
#include <immintrin.h>
static inline floats larger(floats a, floats b) { return (floats)_mm512_max_ps((__m512)a, (__m512)b); }

static inline floats add_where(floats total, ints ids, int32_t id, floats weight) {
    __mmask16 same = _mm512_cmpeq_epi32_mask((__m512i)ids, _mm512_set1_epi32(id));
    return (floats)_mm512_mask_add_ps((__m512)total, same, (__m512)total, (__m512)weight);
}
#else
#if WIDTH == 8 && defined(__AVX__)
#include <immintrin.h>
static inline floats larger(floats a, floats b) { return (floats)_mm256_max_ps((__m256)a, (__m256)b); }
#else
static inline floats larger(floats a, floats b) {
    ints mask = a > b;
    return (floats)((mask & (ints)a) | (~mask & (ints)b));
}
#endif

static inline floats add_where(floats total, ints ids, int32_t id, floats weight) {
    return total + (floats)((ids == id) & (ints)weight);
}
#endif

/* Add lanes to a total, one after the other. */
static inline float add_up(float total, floats lanes) {
    for (int lane = 0; lane < WIDTH; lane++) total += lanes[lane];
    return total;
}

/* exp of numbers from LEAST to 0, as 2^whole * 2^rest with the Taylor series of 2^rest, |rest| <= 1/2, cut where it is
 * below half a unit in the last place. */
static inline floats exp_of(floats power) {
    const float log2_e = 1.44269504088896341f, rounder = 12582912.0f; /* 1.5 * 2^23: leaves the integer in low bits */
    floats shifted = power * log2_e + rounder;
    floats rest = power * log2_e - (shifted - rounder);
    floats result = all(1.5403530393e-4f);
    result = result * rest + 1.3333558146e-3f;
    result = result * rest + 9.6181291076e-3f;
    result = result * rest + 5.5504108664e-2f;
    result = result * rest + 2.4022650695e-1f;
    result = result * rest + 6.9314718056e-1f;
    result = result * rest + 1.0f;
    return (floats)((ints)result + ((ints)shifted << 23));
}

/* Add keys whose scores lie `shifted` from the largest, one to each lane; stores nothing. */
static inline floats add_lanes(sums *s, floats shifted, ints ids, ints ids_before, int32_t id) {
    /* Not below LEAST, where exp_of's exponent would wrap: 1e-38 is nothing beside the largest weight, 1. */
    floats power = larger(all(LEAST), shifted), weight = exp_of(power);
    s->total += weight;
    s->running += s->total;
    s->score += weight * power;
    s->square += weight * weight;
    s->duplicate = add_where(s->duplicate, ids, id, weight);
    s->induction = add_where(s->induction, ids_before, id, weight);
    return weight;
}

static float largest_of(const float *row, int64_t low, int64_t high, float largest) {
    floats lanes = all(largest);
    int64_t key = low;
    for (; key + WIDTH <= high; key += WIDTH) lanes = larger(load(row + key), lanes);
    for (int lane = 0; lane < WIDTH; lane++)
        if (lanes[lane] > largest) largest = lanes[lane];
    for (; key < high; key++)
        if (row[key] > largest) largest = row[key];
    return largest;
}

/* Scale what was added up before by the weight that the largest score so far has beside a larger one. */
static void scale_down(float *state, float *carried, int64_t width, float larger) {
    float drop = state[LARGEST] - larger, factor = expf(drop);
    /* First, while TOTAL is not scaled yet: every earlier score lies further from the new largest one, by drop. */
    state[SCORE] = factor * (state[SCORE] + state[TOTAL] * drop);
    /* DIAGONAL is not scaled: a row's own key lies in its last tile, behind which no larger score can come. */
    state[TOTAL] *= factor;
    state[SQUARE] *= factor * factor;
    state[DISTANCE] *= factor;
    state[DUPLICATE] *= factor;
    state[INDUCTION] *= factor;
    state[FIRST] *= factor;
    state[PREVIOUS] *= factor;
    for (int64_t column = 0; column < width; column++) carried[column] *= factor;
}

/* Add those of WIDTH keys that lie before high; of the others nothing but a weight of exp(LEAST) is added, and what is
 * stored in their place is overwritten by the caller. */
static inline void add_some(sums *s, float *row, int64_t key, int64_t high, int64_t own, float largest,
                            const int32_t *ids, int32_t id) {
    ints seen = lanes_before(high - key), earlier = seen & lanes_before(own - key);
    floats found = load(row + key) - largest;
    floats shifted = (floats)((seen & (ints)found) | (~seen & (ints)all(LEAST)));
    /* All bits set is NO_TOKEN. */
    floats weight = add_lanes(s, shifted, load_ids(ids + key) | ~earlier, load_ids(ids + key - 1) | ~seen, id);
    memcpy(row + key, &weight, sizeof weight);
}

/* The same where a tile ends, behind which nothing may be read. */
static void add_few(sums *s, float *row, int64_t key, int64_t high, int64_t own, float largest, const int32_t *ids,
                    int32_t id) {
    float shifted[WIDTH];
    int32_t here[WIDTH], ahead[WIDTH];
    int64_t left = high - key < WIDTH ? high - key : WIDTH;
    for (int lane = 0; lane < WIDTH; lane++) {
        shifted[lane] = lane < left ? row[key + lane] - largest : LEAST;
        here[lane] = lane < left && key + lane < own ? ids[key + lane] : NO_TOKEN;
        ahead[lane] = lane < left ? ids[key + lane - 1] : NO_TOKEN;
    }
    floats weight = add_lanes(s, load(shifted), load_ids(here), load_ids(ahead), id);
    if (left > 0) memcpy(row + key, &weight, sizeof(float) * left);
}

/* Add the keys [low, high) of a row's tile, which the row sees; own is where the row's own key would be. */
static void add_row(float *row, int64_t num_keys, int64_t low, int64_t high, int64_t own, const int32_t *ids, int32_t id,
                    float *state, float *carried, int64_t width) {
    /* A first tile begins from one of its scores: from 0, weights of scores far below 0 would all vanish. */
    float largest = largest_of(row, low, high, state[TOTAL] > 0 ? state[LARGEST] : row[low]);
    if (state[TOTAL] > 0 && largest > state[LARGEST]) scale_down(state, carried, width, largest);
    if (!(state[TOTAL] > 0) || largest > state[LARGEST]) state[LARGEST] = largest;
    largest = state[LARGEST];
    int64_t before = high < own ? high : own, whole = before > low ? (before - low) / LANES * LANES : 0, end = low + whole;
    float total = 0, score = 0, square = 0, distance = 0, duplicate = 0, induction = 0;
    for (int first = 0; first < LANES; first += WIDTH) {
        sums s = {0};
        for (int64_t key = low + first; key < end; key += LANES) {
            floats weight = add_lanes(&s, load(row + key) - largest, load_ids(ids + key), load_ids(ids + key - 1), id);
            memcpy(row + key, &weight, sizeof weight);
        }
        int64_t key = end + first;
        for (; key - first < high; key += LANES) /* the last keys, and the row's own, which is no duplicate of itself */
            if (key + WIDTH <= num_keys)
                add_some(&s, row, key, high, own, largest, ids, id);
            else
                add_few(&s, row, key, high, own, largest, ids, id);
        /* A weight of vector v of V counts V - v times in `running`: 16 times that is its distance from the end. */
        floats beyond;
        for (int lane = 0; lane < WIDTH; lane++) beyond[lane] = (float)(own - key - lane);
        total = add_up(total, s.total);
        score = add_up(score, s.score);
        square = add_up(square, s.square);
        distance = add_up(distance, s.running * (float)LANES + s.total * beyond);
        duplicate = add_up(duplicate, s.duplicate);
        induction = add_up(induction, s.induction);
    }
    state[TOTAL] += total;
    state[SCORE] += score;
    state[SQUARE] += square;
    state[DISTANCE] += distance;
    state[DUPLICATE] += duplicate;
    state[INDUCTION] += induction;
}

void headledger_tile(float *scores, int64_t num_rows, int64_t num_keys, int64_t heads, int64_t first_row,
                     int64_t first_key, int64_t window, const int32_t *ids, float *state, float *carried,
                     int64_t width, int32_t threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && num_rows * num_keys > WORTH_SHARING)
    for (int64_t index = 0; index < num_rows; index++) {
        float *row = scores + index * num_keys, *own_state = state + index * COLUMNS;
        int64_t position = first_row + index / heads, own = position - first_key;
        /* A window of keys, or, below 0, the size of chunks: a row sees its own chunk alone. */
        int64_t start = window > 0 ? position - window + 1 : window < 0 ? position / -window * -window : 0;
        int64_t low = start > first_key ? start - first_key : 0;
        int64_t high = own + 1 < num_keys ? own + 1 : num_keys;
        if (low >= high) {
            /* Exactly 0, since the products with values that follow take whole tiles. */
            memset(row, 0, sizeof(float) * num_keys);
            continue;
        }
        add_row(row, num_keys, low, high, own, ids + first_key, ids[position], own_state, carried + index * width, width);
        memset(row, 0, sizeof(float) * low);
        memset(row + high, 0, sizeof(float) * (num_keys - high));
        if (first_key == 0 && low == 0) own_state[FIRST] = row[0];
        if (own - 1 >= low && own - 1 < high) own_state[PREVIOUS] = row[own - 1];
        if (own < num_keys) own_state[DIAGONAL] = row[own];
    }
}
