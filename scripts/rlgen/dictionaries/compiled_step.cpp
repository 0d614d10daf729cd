// One training step of a sparse crosscoder on the CPU, as `rlgen.dictionaries.objectives` and Adam define it, around dense matrix
// products that the caller makes. Of the B*S values of a code few are kept, so only the encoder needs a dense product:
// decoding, dz and the gradients of both weights walk over the kept entries. A latent's gradient is never stored: its
// rows of both weights are summed in a small buffer and handed to Adam at once.
//
// Every row (of the batch) and every latent is worked on by one thread in a fixed order: the number of threads changes
// no bit. Shapes: B rows, S latents, M members, d width, D dead latents, F latents with a decoder per member (the rest
// have one for all members).
#include <functional>
#include <limits>
#include <utility>

#include "compiled_step.h"

struct Entry {
    int32_t row, latent;
    float z, dz;
};
using Entries = std::vector<Entry>;

namespace {

float positive(const Step &t, int64_t b, int64_t s) {
    return std::max(t.pre_BS[b * t.S + s] + t.b_enc_S.value[s], 0.0f);
}

// Entries of positive z with z * weight of at least `floor`, row by row. dz holds that product.
Entries collect(const Step &t, const float *weight_S, float floor) {
    constexpr int64_t block = 16;  // most blocks hold no entry and are left after one vectorised look
    std::vector<Entries> parts(t.threads);
    floor = std::max(floor, std::numeric_limits<float>::min());
#pragma omp parallel for num_threads(t.threads) schedule(static, 1)
    for (int64_t part = 0; part < t.threads; part++) {
        for (int64_t b = t.B * part / t.threads; b < t.B * (part + 1) / t.threads; b++) {
            for (int64_t from = 0; from < t.S; from += block) {
                const int64_t n = std::min(block, t.S - from);
                const float *pre = t.pre_BS + b * t.S + from, *bias = t.b_enc_S.value + from, *weight = weight_S + from;
                float product[block] = {};
                if (n == block) {
                    float largest = 0;
#pragma omp simd reduction(max : largest)
                    for (int64_t i = 0; i < block; i++) {
                        product[i] = std::max(pre[i] + bias[i], 0.0f) * weight[i];
                        largest = std::max(largest, product[i]);
                    }
                    if (largest < floor) continue;
                } else {
                    for (int64_t i = 0; i < n; i++) product[i] = std::max(pre[i] + bias[i], 0.0f) * weight[i];
                }
                for (int64_t i = 0; i < n; i++)
                    if (product[i] >= floor)
                        parts[part].push_back({int32_t(b), int32_t(from + i), pre[i] + bias[i], product[i]});
            }
        }
    }
    for (int64_t part = 1; part < t.threads; part++)
        parts[0].insert(parts[0].end(), parts[part].begin(), parts[part].end());
    return std::move(parts[0]);
}

float kth_largest(std::vector<float> values, int64_t k) {  // k from 1
    std::nth_element(values.begin(), values.begin() + (k - 1), values.end(), std::greater<float>());
    return values[k - 1];
}

// A value that a few more entries reach than are to be kept, from two cache lines of every row. Only a guess.
float guess(const Step &t) {
    const int64_t columns = std::min<int64_t>(t.S, 32);
    std::vector<float> sample;
    for (int64_t b = 0; b < t.B; b++)
        for (int64_t j = 0, s = b * columns % t.S; j < columns; j++, s = s + 1 < t.S ? s + 1 : 0)
            sample.push_back(positive(t, b, s) * t.norms_S[s]);
    const double expected = double(t.kept) * columns / t.S;
    const int64_t place = expected + 4 * std::sqrt(expected) + 8;  // four standard deviations of a count
    return place < int64_t(sample.size()) ? kth_largest(std::move(sample), place) : 0;
}

// objectives.batchtopk: the `kept` largest weighted values of the batch and all that equal the smallest of them
Entries batchtopk(Step &t) {
    const float floor = guess(t);
    Entries entries = collect(t, t.norms_S, floor);
    if (int64_t(entries.size()) < t.kept && floor > 0) entries = collect(t, t.norms_S, 0);
    t.cut = 0;
    if (int64_t(entries.size()) >= t.kept) {
        std::vector<float> values;
        for (const Entry &e : entries) values.push_back(e.dz);
        t.cut = kth_largest(std::move(values), t.kept);
    }
    entries.erase(std::remove_if(entries.begin(), entries.end(), [&](const Entry &e) { return e.dz < t.cut; }),
                  entries.end());
    return entries;
}

Entries all_positive(const Step &t) { return collect(t, std::vector<float>(t.S, 1).data(), 0); }

std::vector<int64_t> starts(const Entries &entries, int64_t n, int32_t Entry::*key) {
    std::vector<int64_t> start(n + 1, 0);
    for (const Entry &e : entries) start[e.*key + 1]++;
    for (int64_t i = 0; i < n; i++) start[i + 1] += start[i];
    return start;
}

Entries by_latent(const Entries &entries, std::vector<int64_t> place) {  // stable: rows stay in order
    Entries sorted(entries.size());
    for (const Entry &e : entries) sorted[place[e.latent]++] = e;
    return sorted;
}

// out_Md += sum of z * decoder over a row's entries
void decode(const Step &t, float *out_Md, const Entry *e, int64_t n) {
    for (int64_t m = 0; m < t.M; m++)
        add_rows(out_Md + m * t.d, t.d, n, [&](int64_t i) { return e[i].z; },
                 [&](int64_t i) { return t.decoder(e[i].latent, m); });
}

// dz of a row's entries from the loss's gradient at the reconstruction
void backward(const Step &t, const float *gradient_Md, Entry *e, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        e[i].dz = t.l1 / t.B * t.norms_S[e[i].latent];
        for (int64_t m = 0; m < t.M; m++) e[i].dz += dot(gradient_Md + m * t.d, t.decoder(e[i].latent, m), t.d);
    }
}

// objectives.auxiliary_loss of one row: appends its entries, returns its squared error. `error_Md`: already a gradient.
double auxiliary(const Step &t, int64_t b, Entries &entries) {
    const size_t before = entries.size();
    float floor = 0, *row_Md = t.aux_BMd + b * t.width();
    if (t.D > t.aux_k) {
        std::vector<float> values;
        for (int64_t i = 0; i < t.D; i++) values.push_back(positive(t, b, t.dead_D[i]));
        floor = kth_largest(std::move(values), t.aux_k);
    }
    for (int64_t i = 0; i < t.D; i++) {
        const int64_t s = t.dead_D[i];
        const float z = positive(t, b, s);
        if (z > 0 && z >= floor) entries.push_back({int32_t(b), int32_t(s), z, 0});
    }
    Entry *found = entries.data() + before;
    const int64_t n = entries.size() - before;
    for (int64_t j = 0; j < t.width(); j++) row_Md[j] = t.error_BMd[b * t.width() + j] * t.B / 2;
    decode(t, row_Md, found, n);
    const double sum = square(t, row_Md, t.aux);
    backward(t, row_Md, found, n);
    return sum;
}

// Reconstruction, its error, dz of the entries; with dead latents the auxiliary loss, whose entries are returned
Entries rows(Step &t, Entries &entries, const std::vector<int64_t> &start) {
    std::vector<Entries> parts(t.threads);
    std::vector<double> square_B(t.B), aux_B(t.B, 0);
#pragma omp parallel for num_threads(t.threads) schedule(static, 1)
    for (int64_t part = 0; part < t.threads; part++) {
        for (int64_t b = t.B * part / t.threads; b < t.B * (part + 1) / t.threads; b++) {
            float *row_Md = t.error_BMd + b * t.width();
            std::fill(row_Md, row_Md + t.width(), 0.0f);
            decode(t, row_Md, entries.data() + start[b], start[b + 1] - start[b]);
            subtract(t, b, row_Md);
            square_B[b] = square(t, row_Md, 1);
            backward(t, row_Md, entries.data() + start[b], start[b + 1] - start[b]);
            if (t.D) aux_B[b] = auxiliary(t, b, parts[part]);
        }
    }
    sum_losses(t, square_B, aux_B);
    for (int64_t part = 1; part < t.threads; part++)
        parts[0].insert(parts[0].end(), parts[part].begin(), parts[part].end());
    return std::move(parts[0]);
}

}  // namespace

extern "C" {

// Everything after the encoder product, where few of the B*S values are kept.
void sparse_step(Step *step) {
    Step &t = *step;
    norms(t);
    Entries entries = t.kept ? batchtopk(t) : all_positive(t);
    t.found = entries.size();
    Entries aux = rows(t, entries, starts(entries, t.B, &Entry::row));
    const auto start = starts(entries, t.S, &Entry::latent), aux_start = starts(aux, t.S, &Entry::latent);
    entries = by_latent(entries, start);
    aux = by_latent(aux, aux_start);
    for (int64_t s = 0; s < t.S; s++) {
        t.fired_S[s] = start[s + 1] > start[s];
        t.z_sum_S[s] = t.dpre_sum_S[s] = 0;
        for (int64_t i = start[s]; i < start[s + 1]; i++) {
            t.z_sum_S[s] += entries[i].z;
            t.dpre_sum_S[s] += entries[i].dz;
        }
        for (int64_t i = aux_start[s]; i < aux_start[s + 1]; i++) t.dpre_sum_S[s] += aux[i].dz;
    }
    t.loss += penalty(t);
    update_bias(t);
    update_latents(t, [&](int64_t s, int64_t m, float *decoder_d, float *encoder_d) {
        auto add = [&](const Entry *e, int64_t n, const float *gradient_BMd) {
            auto at = [&](const float *rows_BMd) {
                return [=, &t](int64_t i) { return rows_BMd + (e[i].row * t.M + m) * t.d; };
            };
            add_rows(decoder_d, t.d, n, [&](int64_t i) { return e[i].z; }, at(gradient_BMd));
            add_rows(encoder_d, t.d, n, [&](int64_t i) { return e[i].dz; }, at(t.x_BMd));
        };
        add(entries.data() + start[s], start[s + 1] - start[s], t.error_BMd);
        add(aux.data() + aux_start[s], aux_start[s + 1] - aux_start[s], t.aux_BMd);
    });
}

int64_t count_positive(const Step *step) {
    const Step &t = *step;
    int64_t count = 0;
#pragma omp parallel for num_threads(t.threads) reduction(+ : count)
    for (int64_t b = 0; b < t.B; b++) {
        int32_t row = 0;
        for (int64_t s = 0; s < t.S; s++) row += t.pre_BS[b * t.S + s] + t.b_enc_S.value[s] > 0;
        count += row;
    }
    return count;
}

// The L1 step where many values are positive: what lies between its five dense products. First: pre -> z.
void dense_relu(const Step *step) {
    const Step &t = *step;
    norms(t);
#pragma omp parallel for num_threads(t.threads)
    for (int64_t b = 0; b < t.B; b++)
        for (int64_t s = 0; s < t.S; s++)
            t.pre_BS[b * t.S + s] = std::max(t.pre_BS[b * t.S + s] + t.b_enc_S.value[s], 0.0f);
}

// error_BMd: z @ W_dec -> the gradient there
void dense_error(Step *step) {
    Step &t = *step;
    std::vector<double> square_B(t.B);
#pragma omp parallel for num_threads(t.threads)
    for (int64_t b = 0; b < t.B; b++) {
        float *row_Md = t.error_BMd + b * t.width();
        subtract(t, b, row_Md);
        square_B[b] = square(t, row_Md, 1);
    }
    sum_losses(t, square_B, {});
}

// dpre_BS: error @ W_dec^T -> the gradient at the pre-activations; sums over rows by blocks of latents
void dense_backward(Step *step) {
    Step &t = *step;
    constexpr int64_t block = 256;
#pragma omp parallel for num_threads(t.threads)
    for (int64_t from = 0; from < t.S; from += block) {
        const int64_t to = std::min(from + block, t.S);
        std::fill(t.z_sum_S + from, t.z_sum_S + to, 0.0f);
        std::fill(t.dpre_sum_S + from, t.dpre_sum_S + to, 0.0f);
        float *z_sum_S = t.z_sum_S, *dpre_sum_S = t.dpre_sum_S;
        const float *norms_S = t.norms_S, price = t.l1 / t.B;
        for (int64_t b = 0; b < t.B; b++) {
            const float *z_S = t.pre_BS + b * t.S;
            float *dpre_S = t.dpre_BS + b * t.S;
#pragma omp simd
            for (int64_t s = from; s < to; s++) {
                dpre_S[s] = z_S[s] > 0 ? dpre_S[s] + price * norms_S[s] : 0;
                z_sum_S[s] += z_S[s];
                dpre_sum_S[s] += dpre_S[s];
            }
        }
        for (int64_t s = from; s < to; s++) t.fired_S[s] = t.z_sum_S[s] > 0;
    }
    t.loss += penalty(t);
}

void dense_update(const Step *step) {
    const Step &t = *step;
    update_bias(t);
    update_latents(t, [&](int64_t s, int64_t m, float *decoder_d, float *encoder_d) {
        for (int64_t j = 0; j < t.d; j++) {
            decoder_d[j] += t.decoder_SMd[(s * t.M + m) * t.d + j];
            encoder_d[j] += t.encoder_SMd[(s * t.M + m) * t.d + j];
        }
    });
}
}
