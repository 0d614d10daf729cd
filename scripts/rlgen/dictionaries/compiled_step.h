// What the sparse and the dense step of compiled_step.cpp share: the step's data, arithmetic on rows, Adam.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

struct Parameter {
    float *value, *first, *second;  // with Adam's two moments
};

struct Step {  // the same fields in the same order in compiled_step.py
    int64_t B, S, F, M, d, D, biases;  // biases: rows of b_dec, 1 or M
    int64_t kept;                      // entries to keep in the batch, 0: all that are positive
    int64_t aux_k, threads;
    float l1, aux;  // coefficients of the penalty and of the auxiliary loss
    float rate, eps, beta1, beta2;  // Adam
    float rest1, rest2, correction1, correction2;  // rest: 1 - beta; correction: 1 - beta^steps
    const float *x_BMd;
    float *pre_BS;  // encoder product without bias
    const int64_t *dead_D;
    Parameter W_enc_SMd, b_enc_S, W_free_FMd, W_tied_Td, b_dec_Md;
    float *norms_SM, *norms_S, *error_BMd, *aux_BMd;  // workspaces; error and aux: the loss's gradient there
    float *z_sum_S, *dpre_sum_S;                      // sums over rows
    bool *fired_S;
    float *dpre_BS;                                   // dense step: the loss's gradient at the pre-activations
    const float *decoder_SMd, *encoder_SMd;           // dense step: and at the weights
    double loss, reconstruction_loss;                 // results
    int64_t found;                                    // values of z that are not 0
    float cut;                                        // the smallest kept weighted value

    int64_t width() const { return M * d; }
    const float *decoder(int64_t s, int64_t m) const {
        return s < F ? W_free_FMd.value + (s * M + m) * d : W_tied_Td.value + (s - F) * d;
    }
};

namespace {

// out[j] += sum_i a(i) * row(i)[j], i < n: four rows at a time, because each pass over `out` costs as much as a row
template <class Factor, class Row>
void add_rows(float *out, int64_t width, int64_t n, Factor a, Row row) {
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const float *r0 = row(i), *r1 = row(i + 1), *r2 = row(i + 2), *r3 = row(i + 3);
        const float a0 = a(i), a1 = a(i + 1), a2 = a(i + 2), a3 = a(i + 3);
#pragma omp simd
        for (int64_t j = 0; j < width; j++) out[j] += (a0 * r0[j] + a1 * r1[j]) + (a2 * r2[j] + a3 * r3[j]);
    }
    for (; i < n; i++) {
        const float *r = row(i), f = a(i);
#pragma omp simd
        for (int64_t j = 0; j < width; j++) out[j] += f * r[j];
    }
}

float dot(const float *a, const float *b, int64_t width) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < width; j++) sum += a[j] * b[j];
    return sum;
}

// One row of a parameter, exactly torch.optim.Adam
void adam(const Step &t, Parameter p, int64_t offset, const float *gradient, int64_t width) {
    float *value = p.value + offset, *first = p.first + offset, *second = p.second + offset;
    const float size = t.rate / t.correction1, root = 1 / std::sqrt(t.correction2);
#pragma omp simd
    for (int64_t j = 0; j < width; j++) {
        const float g = gradient[j];
        first[j] += t.rest1 * (g - first[j]);
        second[j] = t.beta2 * second[j] + t.rest2 * g * g;
        value[j] -= size * first[j] / (std::sqrt(second[j]) * root + t.eps);
    }
}

void norms(const Step &t) {
#pragma omp parallel for num_threads(t.threads)
    for (int64_t s = 0; s < t.S; s++) {
        t.norms_S[s] = 0;
        for (int64_t m = 0; m < t.M; m++) {
            const float *row = t.decoder(s, m);
            t.norms_S[s] += t.norms_SM[s * t.M + m] = std::sqrt(dot(row, row, t.d));
        }
    }
}

// what z makes of a row -> the reconstruction minus the row
void subtract(const Step &t, int64_t b, float *row_Md) {
    for (int64_t m = 0; m < t.M; m++) {
        const float *bias_d = t.b_dec_Md.value + (t.biases == 1 ? 0 : m * t.d), *x_d = t.x_BMd + (b * t.M + m) * t.d;
        for (int64_t j = 0; j < t.d; j++) row_Md[m * t.d + j] += bias_d[j] - x_d[j];
    }
}

// difference -> its squared norm; the row becomes the gradient of coefficient * (mean over rows of the squared norm)
double square(const Step &t, float *row_Md, float coefficient) {
    const double sum = dot(row_Md, row_Md, t.width());
    for (int64_t j = 0; j < t.width(); j++) row_Md[j] *= 2 * coefficient / t.B;
    return sum;
}

// squared errors of the rows -> the losses, without the penalty
void sum_losses(Step &t, const std::vector<double> &square_B, const std::vector<double> &aux_B) {
    t.reconstruction_loss = 0;
    for (double value : square_B) t.reconstruction_loss += value / t.B;
    t.loss = t.reconstruction_loss;
    for (double value : aux_B) t.loss += t.aux * value / t.B;
}

void update_bias(const Step &t) {
    std::vector<float> gradient_Md(t.width(), 0);
    constexpr int64_t block = 64;
#pragma omp parallel for num_threads(t.threads)
    for (int64_t from = 0; from < t.width(); from += block)
        for (int64_t b = 0; b < t.B; b++)
            for (int64_t j = from; j < std::min(from + block, t.width()); j++)
                gradient_Md[j] += t.error_BMd[b * t.width() + j];
    for (int64_t m = t.biases; m < t.M; m++)
        for (int64_t j = 0; j < t.d; j++) gradient_Md[j] += gradient_Md[m * t.d + j];
    adam(t, t.b_dec_Md, 0, gradient_Md.data(), t.biases * t.d);
}

// Adam on every latent, fired or not: its moments decay and move it all the same.
// add(s, m, decoder_d, encoder_d) adds the loss's gradient, apart from the penalty's through the norms.
template <class Add>
void update_latents(const Step &t, Add add) {
#pragma omp parallel num_threads(t.threads)
    {
        std::vector<float> decoder_d(t.d), encoder_d(t.d);
#pragma omp for schedule(dynamic, 8)
        for (int64_t s = 0; s < t.S; s++) {
            const float penalty = t.l1 / t.B * t.z_sum_S[s];
            for (int64_t m = 0; m < t.M; m++) {
                if (m == 0 || s < t.F) std::fill(decoder_d.begin(), decoder_d.end(), 0.0f);
                std::fill(encoder_d.begin(), encoder_d.end(), 0.0f);
                add(s, m, decoder_d.data(), encoder_d.data());
                const float norm = t.norms_SM[s * t.M + m], *row_d = t.decoder(s, m);
                if (penalty > 0 && norm > 0)
                    for (int64_t j = 0; j < t.d; j++) decoder_d[j] += penalty / norm * row_d[j];
                if (s < t.F) adam(t, t.W_free_FMd, (s * t.M + m) * t.d, decoder_d.data(), t.d);
                else if (m == t.M - 1) adam(t, t.W_tied_Td, (s - t.F) * t.d, decoder_d.data(), t.d);
                adam(t, t.W_enc_SMd, (s * t.M + m) * t.d, encoder_d.data(), t.d);
            }
            adam(t, t.b_enc_S, s, t.dpre_sum_S + s, 1);
        }
    }
}

double penalty(const Step &t) {
    double sum = 0;
    for (int64_t s = 0; s < t.S; s++) sum += double(t.z_sum_S[s]) * t.norms_S[s];
    return t.l1 / t.B * sum;
}

}  // namespace
